package sqlitestore

// Statements are those whose cost must not grow with the file, by name.
var Statements = map[string]string{
	"save": saveSQL, "get": getSQL, "list": listSQL, "list equal": listEqualSQL, "delete": deleteSQL, "unfinished": unfinishedSQL, "all": allSQL,
	"trim": trimSQL, "timeline": timelineSQL, "finished": finishedSQL,
	"noted": notedSQL, "strike": strikeSQL,
}
