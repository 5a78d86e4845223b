package devtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
)

// Upload sends one file as the deployed page does, and reads the answer into out
// as Call does.
func (s *Stack) Upload(ctx context.Context, path, name string, content []byte, out any) (status int, err error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("files", name)
	if err == nil {
		_, err = part.Write(content)
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		return 0, fmt.Errorf("write the form: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.API+path, &body)
	if err != nil {
		return 0, fmt.Errorf("make the request: %w", err)
	}
	request.Header.Set("Content-Type", form.FormDataContentType())
	return answer(request, out)
}

// maxAnswer is far more than any answer of the api.
const maxAnswer = 16 << 20

// Call sends one request to the api: in as JSON unless it is nil, with the
// token when there is one. The answer, whatever its status, is read into out
// unless that is nil. The error is for requests that got no answer.
func (s *Stack) Call(ctx context.Context, method, path, token string, in, out any) (status int, err error) {
	var body io.Reader = http.NoBody
	if in != nil {
		content, err := json.Marshal(in)
		if err != nil {
			return 0, fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(content)
	}
	request, err := http.NewRequestWithContext(ctx, method, s.API+path, body)
	if err != nil {
		return 0, fmt.Errorf("make the request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return answer(request, out)
}

func answer(request *http.Request, out any) (status int, err error) {
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return response.StatusCode, fmt.Errorf("read the answer: %w", err)
	}
	if out == nil {
		return response.StatusCode, nil
	}
	if text, ok := out.(*string); ok {
		*text = string(content)
		return response.StatusCode, nil
	}
	if err := json.Unmarshal(content, out); err != nil {
		return response.StatusCode, fmt.Errorf("read the answer %s %q: %w", response.Status, content, err)
	}
	return response.StatusCode, nil
}
