package devtest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"
)

// Get reads a page of any process.
func Get(ctx context.Context, url string) (status int, page string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, string(content), err
}

// Labels come in the order of their names.
var engineInfo = regexp.MustCompile(
	`(?m)^spotkeeper_engine_info\{engine="([^"]*)",session="([^"]*)",version="([^"]*)"\} 1$`)

// Decides is the engine that one process decides with, and the session it comes
// from, as the process's metrics say.
func Decides(ctx context.Context, address string) (engine, session string, err error) {
	_, page, err := Get(ctx, address+"/metrics")
	if err != nil {
		return "", "", err
	}
	found := engineInfo.FindStringSubmatch(page)
	if found == nil {
		return "", "", fmt.Errorf("%s/metrics does not say which engine decides", address)
	}
	return found[1], found[2], nil
}
