<?php

namespace App\Console\Commands;

use App\Jobs\NoopJob;
use App\Jobs\RecordJob;
use Illuminate\Console\Command;
use Illuminate\Contracts\Queue\Factory;

/**
 * Pushes NoopJobs between two RecordJobs, which tell when the first of them began and when the last was done.
 */
class PushFramedCommand extends Command
{
    protected $signature = 'push:framed {count} {--queue=}';

    protected $description = 'Push jobs that do nothing, to be measured';

    public function handle(Factory $queues): int
    {
        $jobs = array_map(function (int $n) {
            return new NoopJob($n);
        }, range(1, (int) $this->argument('count')));
        $jobs = array_merge([new RecordJob('first')], $jobs, [new RecordJob('last')]);
        $queues->connection()->bulk($jobs, '', $this->option('queue'));

        return 0;
    }
}
