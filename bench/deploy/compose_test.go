// Package deploy loads the compose files with the library that docker compose
// itself loads them with. It is a module of its own: nothing else needs that.
package deploy

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func load(t *testing.T, file string, profiles ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join("..", "..", file)}, cli.WithProfiles(profiles))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context()) // checks the schema, references and cycles
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return project
}

func TestCluster(t *testing.T) {
	want := []string{"jobs", "kafka", "pipeline-1", "pipeline-2", "postgres", "query", "s3"}
	if got := load(t, "docker-compose.yml").ServiceNames(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	project := load(t, "docker-compose.yml", "sample")
	if got, want := project.ServiceNames(), append(want[:6:6], "s3", "sample"); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("with the profile: got %v, want %v", got, want)
	}
	for _, s := range project.Services {
		if s.Name != "sample" && (s.HealthCheck == nil || len(s.Volumes) == 0 || s.Restart != "unless-stopped") {
			t.Errorf("%s: needs a health check, a volume and restart, got %v, %v, %q", s.Name, s.HealthCheck, s.Volumes, s.Restart)
		}
	}
	for _, name := range []string{"pipeline-1", "pipeline-2", "query", "jobs"} {
		for _, part := range []string{"kafka", "postgres", "s3"} {
			if got := project.Services[name].DependsOn[part].Condition; got != types.ServiceConditionHealthy {
				t.Errorf("%s waits until %s is %q, want healthy", name, part, got)
			}
		}
	}
}

func TestSingle(t *testing.T) {
	if got, want := load(t, "compose.single.yml").ServiceNames(), []string{"tallybook"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
