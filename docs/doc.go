// Package docs holds the guides and the tests that keep them true.
//
// README.md and every docs/*.md are taken at their word. A guide is a session at
// a terminal, from its first line to its last:
//
//   - ```sh blocks run in order in one bash -e, in a fresh copy of the checkout
//     with its bin/ on the PATH. A curl that is answered 400 or more fails.
//   - ```text, ```json or ```csv directly after one is what it prints on standard
//     output, where … stands for anything and white space does not count.
//   - ```sh server runs beside the rest, in a terminal of its own, until the guide
//     ends or has another one. It is waited for until the service is ready, at
//     127.0.0.1:8080 or where its --http says, and, where the guide has tally_… in
//     it, has printed a key, which is meant by that.
//   - ```sh again is repeated, for 30 s at most, until it prints what is shown.
//   - ```sh refused fails, and has to.
//   - ```sh docker, ```sh kubernetes and ```sh elsewhere (too heavy for CI, or in
//     need of somebody's account) are parsed only, by bash -n. ```sh make has
//     targets of the Makefile, which CI runs itself.
//   - A block of another language names a file (```python send.py), which is
//     written into the current folder; a sh block below has to name it too. Without
//     a name, yaml and json are parsed only; other languages are an error.
//
// Between two blocks the test waits until the service has counted what was sent,
// as the time that a reader takes to type does. Each 127.0.0.1:PORT of the text is
// a free port of this machine while it runs, and again what the text says in what
// is printed; settings for 8080 and 9092 come with the environment.
//
// Plain go test looks at the form of all blocks and at links, needing nothing
// beyond Go; go test -tags guides runs them, with curl, kcat, Python and Node;
// -v shows what each block printed. One run at a time: the copy has one place.
package docs
