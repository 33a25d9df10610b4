package archive

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tallybook/schemas"
)

// Folders of the bucket that are no data.
const (
	stagingFolder    = "_staging/"
	quarantineFolder = "_quarantine/"
)

// FileName is where a file of rows of one date belongs, and where it waits
// until it is published. The epoch and its random part make both names unique
// for all time; no account or other text of an event enters them. random is of
// lower-case letters and digits.
func FileName(dataset schemas.Topic, day schemas.Day, src schemas.Partition, epoch int64, random string, first int64) (final, staged string) {
	final = fmt.Sprintf("%s/date=%s/%s-%d-%020d-e%d-%s.parquet", dataset, day, src.Topic, src.ID, first, epoch, random)
	staged = fmt.Sprintf("%s%s-%d-e%d-%s-%020d-%s-%s.parquet", stagingFolder, src.Topic, src.ID, epoch, random, first, dataset, day)
	return final, staged
}

// MergedName is where a file belongs that a job made of others, and where it
// waits until it is published. token is that of the job's lease; first is the
// least offset in it.
func MergedName(dataset schemas.Topic, day schemas.Day, src schemas.Partition, token int64, random string, first int64) (final, staged string) {
	final = fmt.Sprintf("%s/date=%s/%s-%d-%020d-c%d-%s.parquet", dataset, day, src.Topic, src.ID, first, token, random)
	staged = fmt.Sprintf("%sc%d-%s-%s-%d-%020d-%s-%s.parquet", stagingFolder+mergedPrefix, token, random, src.Topic, src.ID, first, dataset, day)
	return final, staged
}

// mergedPrefix tells staged files of jobs from those of every partition.
const mergedPrefix = "merged-"

// Number groups allow no sign and no leading zero, so that each file has one name.
const (
	topicGroup  = `(usage|errors|emails)`
	numberGroup = `(0|[1-9][0-9]*)`
	randomGroup = `([0-9a-z]+)`
	offsetGroup = `([0-9]{20})`
	dateGroup   = `([0-9]{4}-[0-9]{2}-[0-9]{2})`
)

var (
	stagedPattern = regexp.MustCompile(`^` + stagingFolder + topicGroup + `-` + numberGroup + `-e` + numberGroup +
		`-` + randomGroup + `-` + offsetGroup + `-` + topicGroup + `-` + dateGroup + `\.parquet$`)
	finalPattern = regexp.MustCompile(`^` + topicGroup + `/date=` + dateGroup + `/` + topicGroup + `-` + numberGroup +
		`-` + offsetGroup + `-([ec])` + numberGroup + `-` + randomGroup + `\.parquet$`)
	mergedPattern = regexp.MustCompile(`^` + stagingFolder + mergedPrefix + `c` + numberGroup + `-` + randomGroup + `-` + topicGroup +
		`-` + numberGroup + `-` + offsetGroup + `-` + topicGroup + `-` + dateGroup + `\.parquet$`)
)

// fileID is what a file's name says.
type fileID struct {
	dataset schemas.Topic
	day     schemas.Day
	src     schemas.Partition
	epoch   int64 // or the token of a merged file
	random  string
	first   int64
}

func parseID(topic, id, epoch, random, first, dataset, date string) (fileID, error) {
	partition, err := strconv.ParseInt(id, 10, 32)
	if err != nil {
		return fileID{}, err
	}
	e, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fileID{}, err
	}
	offset, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return fileID{}, err
	}
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return fileID{}, err
	}
	return fileID{schemas.Topic(dataset), schemas.DayOf(day.UnixMicro()),
		schemas.Partition{Topic: schemas.Topic(topic), ID: int32(partition)}, e, random, offset}, nil
}

func parseStaged(name string) (fileID, error) {
	m := stagedPattern.FindStringSubmatch(name)
	if m == nil {
		return fileID{}, fmt.Errorf("%q is no name of a staged file", name)
	}
	id, err := parseID(m[1], m[2], m[3], m[4], m[5], m[6], m[7])
	if err != nil {
		return fileID{}, fmt.Errorf("name of staged file %q: %w", name, err)
	}
	return id, nil
}

// ParseStaged reads a staged file's name: where it would be published, which
// partition it came from, and the epoch of the owner that wrote it.
func ParseStaged(name string) (final string, src schemas.Partition, epoch int64, err error) {
	id, err := parseStaged(name)
	if err != nil {
		return "", schemas.Partition{}, 0, err
	}
	final, _ = FileName(id.dataset, id.day, id.src, id.epoch, id.random, id.first)
	return final, id.src, id.epoch, nil
}

// ParseMerged reads the name of a merged file that is staged: where it would be
// published, and the token of the lease that it was made under.
func ParseMerged(name string) (final string, token int64, err error) {
	m := mergedPattern.FindStringSubmatch(name)
	if m == nil {
		return "", 0, fmt.Errorf("%q is no name of a staged file that was merged", name)
	}
	id, err := parseID(m[3], m[4], m[1], m[2], m[5], m[6], m[7])
	if err != nil {
		return "", 0, fmt.Errorf("name of merged file %q: %w", name, err)
	}
	final, _ = MergedName(id.dataset, id.day, id.src, id.epoch, id.random, id.first)
	return final, id.epoch, nil
}

// IsMerged reports whether a published file was made of others.
func IsMerged(name string) bool {
	m := finalPattern.FindStringSubmatch(name)
	return m != nil && m[6] == "c"
}

// ParseFinal reads a published file's name: its dataset, date and partition,
// and the epoch of the owner that wrote it, or the token of a merged file.
func ParseFinal(name string) (dataset schemas.Topic, day schemas.Day, src schemas.Partition, epoch int64, err error) {
	m := finalPattern.FindStringSubmatch(name)
	if m == nil {
		return "", 0, schemas.Partition{}, 0, fmt.Errorf("%q is no name of a published file", name)
	}
	id, err := parseID(m[3], m[4], m[7], m[8], m[5], m[1], m[2])
	if err != nil {
		return "", 0, schemas.Partition{}, 0, fmt.Errorf("name of published file %q: %w", name, err)
	}
	return id.dataset, id.day, id.src, id.epoch, nil
}

// FirstOffset is the least offset in a published file, by its name.
func FirstOffset(name string) (int64, error) {
	m := finalPattern.FindStringSubmatch(name)
	if m == nil {
		return 0, fmt.Errorf("%q is no name of a published file", name)
	}
	return strconv.ParseInt(m[5], 10, 64)
}

// checkName refuses names that are no clean relative path inside the bucket.
func checkName(name string) error {
	if name == "" || name == "." || path.IsAbs(name) || path.Clean(name) != name ||
		name == ".." || strings.HasPrefix(name, "../") || strings.ContainsAny(name, "\x00\\") {
		return fmt.Errorf("%q is no name inside the archive", name)
	}
	return nil
}

// checkPrefix refuses prefixes that no name inside the bucket begins with.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return checkName(prefix + "x") // a prefix may end in a slash, or within a name
}
