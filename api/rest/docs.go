package rest

import (
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/swaggest/swgui"
	viewer "github.com/swaggest/swgui/v5emb"

	"spotkeeper/api/web"
)

// docsRoutes serve the document to people. The viewer and everything it loads are
// part of this binary.
func (d Deps) docsRoutes() []web.Route {
	swagger := viewer.NewHandlerWithConfig(swgui.Config{
		Title: "Spotkeeper", SwaggerJSON: "/openapi.json", BasePath: "/docs", HideCurl: false,
		SettingsUI: map[string]string{"docExpansion": `"list"`, "tryItOutEnabled": "false"},
	})
	show := func(c *gin.Context) {
		h := c.Writer.Header()
		h.Set(
			"Content-Security-Policy",
			"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "+
				"img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
		)
		swagger.ServeHTTP(c.Writer, c.Request)
	}
	return []web.Route{
		{
			Method:  http.MethodGet,
			Path:    "/docs",
			ID:      "showDocs",
			Summary: "Read this document as a page",
			Auth:    web.Anonymous,
			Status:  200,
			Quiet:   true,
			Endpoint: web.NewStream[web.None, web.Page](func(c *gin.Context, _ *web.None) error {
				show(c)
				return nil
			}),
		},
		{
			Method:  http.MethodGet,
			Path:    "/docs/:file",
			ID:      "getDocsFile",
			Summary: "Get a file of that page",
			Auth:    web.Anonymous,
			Status:  200,
			Quiet:   true,
			Endpoint: web.NewStream[docsFile, web.None](func(c *gin.Context, in *docsFile) error {
				if !slices.Contains(docsFiles, in.File) {
					return web.NoRoute.New("There is no such path.")
				}
				c.Header("Cache-Control", "public, max-age=86400")
				show(c)
				return nil
			}),
		},
	}
}

// docsFiles are what the page loads.
var docsFiles = []string{"swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js",
	"favicon-16x16.png", "favicon-32x32.png"}

type docsFile struct {
	File string `json:"-" uri:"file"`
}
