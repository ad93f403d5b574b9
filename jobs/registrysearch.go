package jobs

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// ToolQuery says which tools to look for. The zero value finds the newest
// version of every tool.
type ToolQuery struct {
	// Text is words; a tool must have each of them, whole or as a part, in its
	// name, its keywords or its description.
	Text string
	// Keywords keeps tools that have one of these keywords; case does not
	// matter.
	Keywords []string
	// Names keeps tools of these names.
	Names []string
	// Versions finds all versions, yanked ones included, instead of the newest
	// that is not yanked.
	Versions bool
	// Keep has the last word; nil keeps all.
	Keep func(*Manifest) bool
}

// SearchTools finds tools, the best match first: words in the name count most,
// then keywords, then the description. What matches equally well comes by
// name, then newest first.
func (c *Client) SearchTools(ctx context.Context, q ToolQuery) ([]Manifest, error) {
	all, err := c.Tools(ctx)
	if err != nil {
		return nil, err
	}
	return q.Select(all), nil
}

// Select does the same with manifests as Tools lists them.
func (q ToolQuery) Select(all []Manifest) []Manifest {
	newest := map[string]string{}
	for _, m := range all { // versions ascend within a name
		if m.Yanked == nil {
			newest[m.Name] = m.Version
		}
	}
	words := strings.Fields(strings.ToLower(q.Text))
	type found struct {
		m     Manifest
		score int
	}
	var hits []found
	for _, m := range slices.Backward(all) {
		switch {
		case !q.Versions && newest[m.Name] != m.Version,
			len(q.Names) > 0 && !slices.Contains(q.Names, m.Name),
			len(q.Keywords) > 0 && !slices.ContainsFunc(q.Keywords, m.hasKeyword),
			q.Keep != nil && !q.Keep(&m):
			continue
		}
		if score, ok := m.match(words); ok {
			hits = append(hits, found{m, score})
		}
	}
	slices.SortStableFunc(hits, func(a, b found) int {
		return cmp.Or(b.score-a.score, cmp.Compare(a.m.Name, b.m.Name))
	})
	out := make([]Manifest, len(hits))
	for i, h := range hits {
		out[i] = h.m
	}
	return out
}

func (m *Manifest) hasKeyword(k string) bool {
	return slices.ContainsFunc(m.Keywords, func(own string) bool { return strings.EqualFold(own, k) })
}

// match scores lower-case words; false when one of them is nowhere.
func (m *Manifest) match(words []string) (score int, ok bool) {
	description := strings.ToLower(m.Description)
	for _, w := range words {
		best := 0
		switch {
		case m.Name == w:
			best = 100
		case strings.HasPrefix(m.Name, w):
			best = 50
		case strings.Contains(m.Name, w):
			best = 30
		}
		for _, k := range m.Keywords {
			switch k = strings.ToLower(k); {
			case k == w:
				best = max(best, 40)
			case strings.Contains(k, w):
				best = max(best, 20)
			}
		}
		if best == 0 && strings.Contains(description, w) {
			best = 5
		}
		if best == 0 {
			return 0, false
		}
		score += best
	}
	return score, true
}
