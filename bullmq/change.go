package bullmq

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// What handlers, through [Job], and administrators, through [Queue], can change of a job in any state.
var (
	progressScript = newScript("progress")
	dataScript     = newScript("data")
	logScript      = newScript("log")
)

// millisNow is the caller's clock as scripts take it.
func millisNow() string { return strconv.FormatInt(time.Now().UnixMilli(), 10) }

func updateProgress(ctx context.Context, client rueidis.Client, k keys, id string, v any) error {
	value, err := encode(v)
	if err != nil {
		return fmt.Errorf("progress of job %s: %w", id, err)
	}
	found, err := progressScript.run(ctx, client, k, millisNow(), id, string(value)).AsInt64()
	return foundJob(id, "progress of", found == 1, err)
}

func updateData(ctx context.Context, client rueidis.Client, k keys, id string, v any) (json.RawMessage, error) {
	data, err := encodeData(v)
	if err != nil {
		return nil, fmt.Errorf("data of job %s: %w", id, err)
	}
	found, err := dataScript.run(ctx, client, k, millisNow(), id, string(data)).AsInt64()
	return data, foundJob(id, "data of", found == 1, err)
}

func addLog(ctx context.Context, client rueidis.Client, k keys, id, line string, keep int) (int64, error) {
	count, err := logScript.run(ctx, client, k, millisNow(), id, line, strconv.Itoa(keep)).AsInt64()
	return max(count, 0), foundJob(id, "log of", count >= 0, err)
}

// foundJob is the error of an operation on a job that Redis answered with err, or by telling that there is none.
func foundJob(id, operation string, found bool, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s job %s: %w", operation, id, err)
	case !found:
		return fmt.Errorf("%s job %s: %w", operation, id, ErrJobNotFound)
	}
	return nil
}

// encodeData encodes the data of a job: what has none is stored as an empty object, as in Node.
func encodeData(v any) (json.RawMessage, error) {
	if v == nil {
		return json.RawMessage("{}"), nil
	}
	raw, err := encode(v)
	switch {
	case err != nil:
		return nil, err
	case len(raw) > MaxData:
		return nil, fmt.Errorf("%d bytes as JSON are more than %d", len(raw), MaxData)
	}
	return raw, nil
}
