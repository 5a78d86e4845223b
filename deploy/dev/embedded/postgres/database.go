package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// database is the product's, made at the first start. Its name has no
// character that would need quoting.
const database = "spotkeeper"

// awaitAnswer returns when the server accepts connections, or says why it
// never will.
func (s *Server) awaitAnswer(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		connection, err := connect(ctx, s.Port)
		if err == nil {
			return connection.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-s.process.Ended():
			return s.outcome()
		case <-ctx.Done():
			return fmt.Errorf("wait for the database: %w: %w", ctx.Err(), err)
		}
	}
}

// connect reaches the maintenance database that every cluster has.
func connect(ctx context.Context, port int) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return pgx.Connect(ctx, connectionURL(port, "postgres"))
}

func createDatabase(ctx context.Context, port int) error {
	connection, err := connect(ctx, port)
	if err != nil {
		return fmt.Errorf("connect to the new database: %w", err)
	}
	defer func() { _ = connection.Close(ctx) }()
	var exists bool
	err = connection.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, database).Scan(&exists)
	if err != nil {
		return fmt.Errorf("look for database %s: %w", database, err)
	}
	if exists {
		return nil
	}
	if _, err := connection.Exec(ctx, `CREATE DATABASE `+database); err != nil {
		return fmt.Errorf("make database %s: %w", database, err)
	}
	return nil
}
