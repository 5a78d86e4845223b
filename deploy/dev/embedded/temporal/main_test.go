package temporal_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"

	"spotkeeper/deploy/dev/embedded/temporal"
)

// TestMain has a second life as the process that is killed with -9: started
// as "serve <file> <port>" it runs a server until it dies.
//
// There is no goleak here: the server's connection pools, its SQLite handle and
// its caches keep goroutines until the process ends, by their own admission
// (the pool's Close has "todo: will persist a single connection").
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "serve" {
		os.Exit(serve(os.Args[2], os.Args[3]))
	}
	os.Exit(m.Run())
}

func serve(file, port string) int {
	number, err := strconv.Atoi(port)
	if err == nil {
		_, err = temporal.Start(context.Background(), temporal.Options{File: file, Port: number, NoUI: true})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	select {}
}
