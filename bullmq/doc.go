// Package bullmq is a job queue on Redis that shares its queues with BullMQ: programs in Node, Python, PHP or Elixir add
// jobs that workers here run, and the other way round; Bull Board shows them all. It works beside BullMQ 5.66 to 6.7.
//
//	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}})
//
//	queue, err := bullmq.NewQueue(client, "mail", bullmq.QueueConfig{})
//	job, err := queue.Add(ctx, "welcome", Mail{To: "ada@example.com"}, bullmq.JobOptions{
//		Attempts: 5, Backoff: bullmq.Exponential(time.Second),
//	})
//
//	worker, err := bullmq.NewWorker(client, "mail", func(ctx context.Context, job *bullmq.Job) (any, error) {
//		var mail Mail
//		if err := job.Bind(&mail); err != nil {
//			return nil, bullmq.Unrecoverable(err)
//		}
//		return send(ctx, mail)
//	}, bullmq.WorkerConfig{Concurrency: 50})
//	err = worker.Run(ctx) // until ctx ends and what runs has come to its end
//
// A job is run at least once. A worker holds it by a lock that it renews; when a worker dies, another one starts the job
// again once the lock is over, and after [WorkerConfig.MaxStalls] such deaths the job has failed. So let handlers do no
// harm when they run twice. Jobs that failed for good are kept, with every error, until [JobOptions.RemoveOnFail] says
// otherwise: [Queue.Finished] lists them, [Queue.Retry] runs them again.
//
// A worker of few slots whose handlers take next to no time spends it on calls. [WorkerConfig.FetchAhead] lets it fetch
// the next jobs while those before them run, and start many with one call; what is not to start within milliseconds goes
// back to its place in the line.
//
// Jobs by the clock are made by schedulers ([Queue.UpsertScheduler]), which live in Redis: there is always one job to come,
// and the worker that starts it makes the next.
//
// What BullMQ does not have: attempts end by a timeout and jobs can be cancelled, both through the handler's context
// ([JobOptions.Timeout], [Queue.Cancel]); a job can be given back without having spent an attempt ([HandBack]); delayed
// jobs start to the millisecond; and [QueueEvents] misses nothing.
//
// Redis 6.2 or later, or Valkey: a single server, Sentinels or a Cluster, whatever the client was made for. On a Cluster
// the prefix must hold a hash tag ("{bull}"); while its slot is moved the queue stands still. With Sentinels the client
// should have a TopologyRefreshInterval. The server must not evict keys (maxmemory-policy noeviction), and what a crash of
// it may cost is up to its own settings (appendonly, appendfsync). What a master had acknowledged and its replica has not
// got is gone when that takes over: who cannot have that gives jobs an id and adds those again that are not there.
package bullmq
