package sqlitestore

import _ "embed"

var (
	//go:embed sql/create.sql
	createSQL string
	//go:embed sql/save.sql
	saveSQL string
	//go:embed sql/get.sql
	getSQL string
	//go:embed sql/list.sql
	listSQL string
	//go:embed sql/list_equal.sql
	listEqualSQL string
	//go:embed sql/delete.sql
	deleteSQL string
	//go:embed sql/unfinished.sql
	unfinishedSQL string
	//go:embed sql/all.sql
	allSQL string

	//go:embed sql/append.sql
	appendSQL string
	//go:embed sql/trim.sql
	trimSQL string
	//go:embed sql/timeline.sql
	timelineSQL string
	//go:embed sql/finished.sql
	finishedSQL string

	//go:embed sql/note.sql
	noteSQL string
	//go:embed sql/noted.sql
	notedSQL string
	//go:embed sql/strike.sql
	strikeSQL string
)
