package api

import (
	"net/http"
	"time"
)

// A browser keeps its key in a cookie that no script reads and no page of another
// site makes it send; a request with it is nevertheless held against its origin.
const sessionCookie = "tallybook_key"

// sessionTime is how long a browser stays signed in.
const sessionTime = 12 * time.Hour

// StartSession signs a browser in with the key that the request has in a header;
// Mount has admitted it.
func StartSession(w http.ResponseWriter, r *http.Request) error {
	key, err := credential(r)
	if err != nil {
		return err
	}
	if key == "" { // of a session that goes on, or without keys at all
		return nil
	}
	setSession(w, r, key, int(sessionTime.Seconds()))
	return nil
}

// EndSession signs a browser out.
func EndSession(w http.ResponseWriter, r *http.Request) { setSession(w, r, "", -1) }

func setSession(w http.ResponseWriter, r *http.Request, key string, maxAge int) {
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: key, Path: "/", MaxAge: maxAge, HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"})
}

// sessionKey is the key of a request that has none in a header.
func sessionKey(r *http.Request) (string, error) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || cookie.Value == "" {
		return "", nil
	}
	if otherOrigins.Check(r) != nil {
		return "", Forbidden("a session is not for pages of another site")
	}
	return cookie.Value, nil
}
