package store

// see the design; to be written
