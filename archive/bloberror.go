package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"gocloud.dev/gcerrors"
)

var errNoAnswer = errors.New("the object store gives no answer, or takes too long for one")

// failed says what went wrong in a line that an operator understands. The
// client's own text, pages long with ids of requests, is not repeated.
func (b *Blob) failed(ctx context.Context, doing, name string, err error) error {
	return fmt.Errorf("%s %s in %s: %w", doing, name, b.where, blobError(ctx, err))
}

func blobError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		if cause := context.Cause(ctx); cause == errNoAnswer {
			return cause
		}
		return ctx.Err()
	}
	var api smithy.APIError
	isAPI := errors.As(err, &api)
	status := 0
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		status = response.HTTPStatusCode()
	}
	switch code := gcerrors.Code(err); {
	case isAPI && api.ErrorCode() == "NoSuchBucket":
		return errors.New("the bucket does not exist")
	case code == gcerrors.NotFound:
		return fs.ErrNotExist
	case isAPI && (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests || api.ErrorCode() == "SlowDown"):
		return fmt.Errorf("the object store is overloaded or down: %s", apiText(api, status))
	case isAPI && (status == http.StatusForbidden || status == http.StatusUnauthorized):
		return fmt.Errorf("the object store denies access: %s; see that the credentials are right and allowed to read, write, list and delete", apiText(api, status))
	case isAPI:
		return fmt.Errorf("the object store answers %s", apiText(api, status))
	case status != 0:
		return fmt.Errorf("the object store answers with status %d", status)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errNoAnswer
	}
	var dial *net.OpError
	if errors.As(err, &dial) {
		return fmt.Errorf("the object store cannot be reached: %w", dial)
	}
	return err
}

func apiText(e smithy.APIError, status int) string {
	text := e.ErrorCode()
	if m := e.ErrorMessage(); m != "" {
		text += ", " + m
	}
	if status != 0 {
		text = fmt.Sprintf("%d %s", status, text)
	}
	return text
}

func isOutOfRange(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "InvalidRange"
}
