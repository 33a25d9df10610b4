package mail

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// folder writes mails as files, {id}.eml: the provider "log", for those who have
// none. A file is whole or not there; sending a mail again writes the same file.
type folder struct{ dir string }

func newFolder(rawURL string) (*folder, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("its url is not a URL")
	}
	return &folder{dir: filepath.FromSlash(u.Path)}, nil
}

func (p *folder) send(_ context.Context, m *message) Outcome {
	text, err := m.mime()
	if err != nil {
		return Outcome{Class: Payload, Message: clip(err.Error())}
	}
	if err := p.write(m.id+".eml", text); err != nil {
		return Outcome{Class: Provider, Message: clip(err.Error())}
	}
	return Outcome{Class: OK, Message: "written to " + m.id + ".eml", MessageID: m.headerID}
}

func (p *folder) write(name string, text []byte) (err error) {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(p.dir, ".mail-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), filepath.Join(p.dir, name)); err != nil {
		return err
	}
	d, err := os.Open(p.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
