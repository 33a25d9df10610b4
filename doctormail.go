package main

import (
	"strings"

	"tallybook/mail"
)

// mailProviders reads the configuration of mail; it asks no provider.
func (d *doctor) mailProviders() {
	cfg, err := d.mailConfig()
	if err != nil {
		d.bad("mail: %v", err)
		return
	}
	var names []string
	for _, p := range cfg.Providers {
		names = append(names, p.Name+" ("+p.Type+")")
		if strings.Contains(p.APIKey, "<") || strings.Contains(p.URL, "<") {
			d.bad("mail: provider %q has a placeholder of the sample in its url or api_key", p.Name)
		}
		if (p.Type == mail.TypeMailgun || p.Type == mail.TypeMandrill) && strings.HasPrefix(p.URL, "http://") {
			d.note("mail: the key of provider %q goes over the network in clear, since its url begins with http://", p.Name)
		}
	}
	if d.MailConfig == "" && d.MailSection == nil {
		d.note("mail: no provider is configured; mails are written to %s/mail", d.Data)
		return
	}
	d.good("mail: providers are asked in this order: %s", strings.Join(names, ", "))
}
