package collector

import "embed"

// OpenAPI describes the endpoints of this package.
//
//go:embed openapi/*.yaml
var OpenAPI embed.FS
