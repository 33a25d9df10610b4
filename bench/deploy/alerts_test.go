package deploy

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// Prometheus takes the rules, and each metric in them is one that we have.
func TestAlerts(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "alerts.yml")
	promql := parser.NewParser(parser.Options{})
	groups, errs := rulefmt.ParseFile(path, false, model.UTF8Validation, promql, slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if t.Failed() || len(groups.Groups) == 0 {
		t.Fatalf("no rules in %s", path)
	}
	for _, rule := range groups.Groups[0].Rules {
		expr, err := promql.ParseExpr(rule.Expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, selectors := range parser.ExtractSelectors(expr) {
			for _, m := range selectors {
				if m.Name == "__name__" && m.Value != "up" {
					known(t, rule.Alert, m.Value)
				}
			}
		}
	}
}

// known looks for the metric's name, without our namespace and the suffix of a
// histogram's parts, in the sources.
func known(t *testing.T, alert, metric string) {
	t.Helper()
	name := strings.TrimPrefix(metric, "tallybook_")
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		name = strings.TrimSuffix(name, suffix)
	}
	cmd := exec.Command("git", "grep", "-q", `"`+name+`"`, "--", "*.go")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("%s: nothing makes the metric %s", alert, metric)
	}
}
