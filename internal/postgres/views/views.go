package views

import (
	"spotkeeper/internal/flight"
	"spotkeeper/internal/postgres/pg"
)

// Views answer what pages, lists and legacy routes read. Each method is one
// indexed statement, whatever the number of rows; nothing here is written. A
// clientID that is not empty limits a view to that tenant.
type Views struct {
	DB *pg.DB

	places flight.Batch[placeAsked, *InstancePlace]
}
