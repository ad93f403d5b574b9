package report

// SavePage writes the report as a web page.
func (r *Report) SavePage(string) error { return nil }

// SavePage writes the comparison as a web page.
func (c *Comparison) SavePage(string) error { return nil }
