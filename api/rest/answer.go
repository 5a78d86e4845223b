package rest

import (
	"errors"
	"html/template"
	"net/http"

	"github.com/gin-gonic/gin"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/approval"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/decisions"
)

var answerPage = template.Must(template.ParseFS(files, "html/answer.html"))

// answerRoutes are the page that a webhook's link leads to. Opening it answers nothing:
// programs that look at links open them too.
func (d Deps) answerRoutes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     approval.LinkPath + ":approval_id",
			ID:       "showQuestion",
			Summary:  "Show the page on which the holder of a webhook's link approves or rejects a move",
			Auth:     web.Anonymous,
			Status:   200,
			Timeout:  web.QuickTimeout,
			Endpoint: web.NewStream[answerQuery, web.Page](d.showQuestion),
		},
		{
			Method:   http.MethodPost,
			Path:     approval.LinkPath + ":approval_id",
			ID:       "answerQuestion",
			Summary:  "Approve or reject a move by a webhook's link",
			Auth:     web.Anonymous,
			Status:   200,
			Timeout:  web.QuickTimeout,
			Endpoint: web.NewStream[answerForm, web.Page](d.answerQuestion),
		},
	}
}

type answerQuery struct {
	ApprovalID string `json:"-" uri:"approval_id"`
	Sink       string `json:"-" form:"sink" binding:"max=64" doc:"the webhook that the link was sent to"`
	Token      string `json:"-" form:"token" binding:"max=64" doc:"the signature of the link"`
}

// answerForm documents the form; a form is not JSON and is read by hand.
type answerForm struct {
	web.OptionalBody
	web.FormBody

	ApprovalID string `json:"-" uri:"approval_id"`
	Sink       string `json:"sink" doc:"the webhook that the link was sent to" example:"3f1c2b7a-5d4e-4f60-8a9b-0c1d2e3f4a5b"`
	Token      string `json:"token" doc:"the signature of the link"`
	Answer     string `json:"answer" doc:"what is decided" enum:"approve reject"`
}

type answerView struct {
	Question                    *decisions.ApprovalView
	Place, Problem, Done, Until string
	Sink, Token                 string
	Open                        bool
}

func (d Deps) showQuestion(c *gin.Context, in *answerQuery) error {
	found, err := d.Approvals.Linked(c.Request.Context(), in.ApprovalID, in.Sink, in.Token)
	if err != nil {
		return d.refuseAnswer(c, err)
	}
	v := questionView(found)
	v.Sink, v.Token = in.Sink, in.Token
	v.Open = found.State == approval.Pending
	if !v.Open {
		v.Done = "This question is closed: it is " + string(found.State) + "."
	}
	return d.writeAnswer(c, http.StatusOK, v)
}

func (d Deps) answerQuestion(c *gin.Context, in *answerForm) error {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxLogin)
	if err := c.Request.ParseForm(); err != nil {
		return web.InvalidRequest.Wrap(err, "The form could not be read.")
	}
	form := c.Request.PostForm
	answer := form.Get("answer")
	if answer != "approve" && answer != "reject" {
		return d.refuseAnswer(c, web.InvalidRequest.New("Choose to approve or to reject."))
	}
	found, note, err := d.Approvals.AnswerLinked(c.Request.Context(), in.ApprovalID, form.Get("sink"), form.Get("token"),
		answer == "approve")
	if err != nil {
		return d.refuseAnswer(c, err)
	}
	v := questionView(found)
	v.Done = "Rejected: the agent stays."
	if answer == "approve" {
		v.Done = "Approved. The move is made at the next run, while it is still worth it. " + note
	}
	return d.writeAnswer(c, http.StatusOK, v)
}

func questionView(q *decisions.ApprovalView) answerView {
	return answerView{
		Question: q,
		Place:    approval.Place(q.Mode, q.PoolID),
		Until:    q.ExpiresAt.UTC().Format("2006-01-02 15:04 UTC"),
	}
}

// refuseAnswer shows a refusal on the page. Other failures are written as anywhere.
func (d Deps) refuseAnswer(c *gin.Context, err error) error {
	f, known := errors.AsType[*fault.Error](err)
	if !known || web.IsUnavailable(err) || fault.KindOf(err) == fault.Internal {
		return err
	}
	return d.writeAnswer(c, web.StatusOf(f.Code), answerView{Problem: f.Message})
}

func (d Deps) writeAnswer(c *gin.Context, status int, v answerView) error {
	h := c.Writer.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the address answers the question
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	c.Status(status)
	if err := answerPage.Execute(c.Writer, v); err != nil {
		web.LoggerOf(c).WarnContext(c.Request.Context(), "the page of a question was not written", "error", err)
	}
	return nil
}
