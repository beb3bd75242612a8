package bullmq

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// maxEvents is how many events a queue keeps, or a few more, unless its settings say otherwise.
const maxEvents = 10_000

// Publish adds an event of the program's own to those of the queue, for every [QueueEvents] and Node's too, and returns its
// id. Names and values are passed on as they are; the field "event" is the name's. BullMQ's own publisher cuts the events
// of the queue to the last 1,000 with each; this one leaves 10,000, as the queue does unless set otherwise.
func (q *Queue) Publish(ctx context.Context, name string, fields map[string]string) (id string, err error) {
	if _, taken := fields[eventName]; name == "" || taken {
		return "", fmt.Errorf("publish event %.40q: needs a name, and no field %q", name, eventName)
	}
	command := q.client.B().Xadd().Key(q.keys.of(keyEvents)).Maxlen().Almost().Threshold(strconv.Itoa(maxEvents)).
		Id("*").FieldValue().FieldValue(eventName, name)
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		command = command.FieldValue(field, fields[field])
	}
	if id, err = q.client.Do(ctx, command.Build()).ToString(); err != nil {
		return "", fmt.Errorf("publish event %.40q: %w", name, err)
	}
	return id, nil
}
