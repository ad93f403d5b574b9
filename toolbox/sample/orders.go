package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"
)

var (
	cities   = []string{"Aveiro", "Bergen", "Cluj", "Dakar", "Graz", "Kochi", "Łódź", "Osaka", "Porto", "Tromsø"}
	names    = []string{"Ada", "Björn", "Chidi", "Dolores", "Eero", "Fatima", "Goran", "Hana", "Inés", "Jun"}
	products = []string{"lantern", "kettle", "rope", "compass", "blanket", "stove", "map", "axe"}
	states   = []string{"placed", "paid", "sent", "delivered", "returned"}
)

// orders is a JSON array, one order a line. Prices are whole cents.
func orders(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	start := time.Date(2025, 1, 1, 8, 0, 0, 0, time.UTC)
	var b bytes.Buffer
	b.WriteString("[\n")
	for i := range n {
		if i > 0 {
			b.WriteString(",\n")
		}
		placed := start.Add(time.Duration(i)*7*time.Minute + time.Duration(random.IntN(300))*time.Second)
		fmt.Fprintf(&b, `{"id":%d,"placed":%q,"customer":{"name":%q,"city":%q},"state":%q,"items":[`,
			100000+i, placed.Format(time.RFC3339), pick(names), pick(cities), pick(states))
		total := 0
		for j := range 1 + random.IntN(3) {
			if j > 0 {
				b.WriteByte(',')
			}
			count, price := 1+random.IntN(5), 199+100*random.IntN(80)
			total += count * price
			fmt.Fprintf(&b, `{"product":%q,"count":%d,"price":%d}`, pick(products), count, price)
		}
		fmt.Fprintf(&b, `],"total":%d}`, total)
	}
	b.WriteString("\n]\n")
	return b.Bytes()
}
