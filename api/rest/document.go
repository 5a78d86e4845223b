package rest

import (
	"net/http"
	"sync"

	"github.com/gin-gonic/gin"

	"spotkeeper/api/web"
)

func (d Deps) documentRoutes() []web.Route {
	document := sync.OnceValues(func() ([]byte, error) { return web.Document(d.Routes()) })
	return []web.Route{{
		Method:  http.MethodGet,
		Path:    "/openapi.json",
		ID:      "getDocument",
		Summary: "Read this document",
		Auth:    web.Anonymous,
		Status:  200,
		Quiet:   true,
		Endpoint: web.NewStream[web.None, map[string]any](func(c *gin.Context, _ *web.None) error {
			doc, err := document()
			if err != nil {
				return err
			}
			c.Data(http.StatusOK, "application/json", doc)
			return nil
		}),
	}}
}
