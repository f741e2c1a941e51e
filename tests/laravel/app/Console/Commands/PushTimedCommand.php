<?php

namespace App\Console\Commands;

use App\Jobs\RecordJob;
use Illuminate\Console\Command;
use Illuminate\Contracts\Queue\Factory;

/**
 * Pushes RecordJobs one by one, and prints when each was on its queue.
 */
class PushTimedCommand extends Command
{
    protected $signature = 'push:timed {count} {--every=50 : milliseconds} {--queue=}';

    protected $description = 'Push jobs one by one';

    public function handle(Factory $queues): int
    {
        $queue = $queues->connection();
        for ($n = 0; $n < (int) $this->argument('count'); $n++) {
            $queue->push(new RecordJob('timed', $n), '', $this->option('queue'));
            $this->line(sprintf('%.6F', microtime(true)));
            usleep((int) $this->option('every') * 1000);
        }

        return 0;
    }
}
