package app

import (
	"errors"

	"spotkeeper/internal/config"
	"spotkeeper/internal/temporalx"
)

// checkTransport refuses to start where the database or Temporal would be reached in the
// open.
func checkTransport(c config.Config, o temporalx.Options) error {
	address, encrypted, err := temporalx.ServerAddress(o)
	if err != nil {
		return err
	}
	return errors.Join(c.CheckDatabase(), c.CheckTemporal(address, encrypted))
}
