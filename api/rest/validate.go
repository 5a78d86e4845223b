package rest

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/fault"
)

func (d Deps) validateRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/api/client/validate", ID: "validateToken", Summary: "Whether a client token is good, for installers", Auth: web.Anonymous, Status: 200, Timeout: web.QuickTimeout, Endpoint: web.NewStream[validateRequest, validateAnswer](d.validate)},
	}
}

type validateRequest struct {
	Authorization string `header:"Authorization" json:"-"`
}

type validateAnswer struct {
	Valid    bool   `json:"valid"`
	ClientID string `json:"client_id"`
	Name     string `json:"name"`
	Email    string `json:"email"`
}

// validate checks the token by hand, because its sentences differ from those of
// every other route and because it insists on the scheme.
func (d Deps) validate(c *gin.Context, in *validateRequest) error {
	token, bearer := strings.CutPrefix(in.Authorization+" ", "Bearer ")
	token = strings.TrimSpace(token)
	switch {
	case !bearer:
		return web.MissingToken.New("Missing or invalid Authorization header").With("valid", false)
	case token == "":
		return web.MissingToken.New("Token is empty").With("valid", false)
	}
	hash := clients.Hash(token)
	if err := d.auth.CheckThrottle(c, hash); err != nil {
		return err
	}
	client, err := d.auth.Client(c, hash)
	switch {
	case fault.Is(err, web.InvalidToken):
		return web.InvalidToken.New("Invalid token").With("valid", false)
	case fault.Is(err, web.Inactive):
		return web.Inactive.New("Client account is not active").With("valid", false)
	case err != nil:
		return err
	}
	web.WriteJSON(c, http.StatusOK, &validateAnswer{Valid: true, ClientID: client.ID, Name: client.Name, Email: client.Email})
	return nil
}
