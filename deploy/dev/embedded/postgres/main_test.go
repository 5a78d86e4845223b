package postgres

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

// TestMain has a second life as the process that is killed with -9, or run as
// another user: started as "serve <dir> <port>" it runs a server until it dies.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "serve" {
		os.Exit(serve(os.Args[2], os.Args[3]))
	}
	goleak.VerifyTestMain(m)
}

func serve(dir, port string) int {
	number, err := strconv.Atoi(port)
	if err == nil {
		_, err = Start(context.Background(), Options{Dir: dir, Port: number})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	select {}
}
