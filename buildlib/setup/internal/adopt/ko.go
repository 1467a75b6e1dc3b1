package adopt

func (p *project) ko() error                     { return nil }
func (p *project) goreleaser() ([]string, error) { return nil, nil }
