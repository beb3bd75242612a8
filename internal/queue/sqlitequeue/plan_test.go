package sqlitequeue_test

import (
	"strings"
	"testing"

	"loupe/internal/queue"
	"loupe/internal/queue/sqlitequeue"
	"loupe/internal/sqlitedb"
)

// However long the line and the history: no statement reads all jobs, or sorts.
func TestStatementsUseIndexes(t *testing.T) {
	t.Parallel()
	_, db := open(t, queue.Config{})
	for name, statement := range sqlitequeue.Statements {
		args := make([]any, strings.Count(statement, "?")) // as many as the highest number, at least
		for i := range args {
			args[i] = 1
		}
		var plan []string
		if _, err := db.Query(t.Context(), func(row sqlitedb.Row) error {
			var id, parent, unused int
			var step string
			err := row.Scan(&id, &parent, &unused, &step)
			plan = append(plan, step)
			return err
		}, "EXPLAIN QUERY PLAN "+statement, args...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, step := range plan {
			if strings.HasPrefix(step, "SCAN jobs") || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s:\n%s", name, strings.Join(plan, "\n"))
			}
		}
	}
}
