// Command packchart packs the Helm chart of a version into a directory, as `helm package`
// does: packchart VERSION DIRECTORY.
package main

import (
	"errors"
	"fmt"
	"os"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/chart/v2/util"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "packchart:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: packchart VERSION DIRECTORY")
	}
	chart, err := loader.Load("../helm/spotkeeper")
	if err != nil {
		return err
	}
	chart.Metadata.Version, chart.Metadata.AppVersion = args[0], args[0]
	file, err := util.Save(chart, args[1])
	if err != nil {
		return err
	}
	fmt.Println(file)
	return nil
}
