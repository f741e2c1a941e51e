<?php

namespace App\Console\Commands;

use App\Jobs\UnsteadyJob;
use Illuminate\Bus\Batch;
use Illuminate\Console\Command;
use Illuminate\Support\Facades\Bus;

/**
 * Dispatches a batch of UnsteadyJobs whose callbacks write lines into the file `{journal}.calls`, and prints its id.
 */
class PushBatchCommand extends Command
{
    protected $signature = 'push:batch {journal} {name}
        {--count=3}
        {--sleep=0 : milliseconds}
        {--unsteady=0 : every so many-th throws on its first attempt}
        {--fail= : the number of one that fails for good; failures are allowed then}
        {--die= : the number of one that kills its process when it has been counted}';

    protected $description = 'Dispatch a batch of jobs';

    public function handle(): int
    {
        $calls = $this->argument('journal').'.calls';
        $name = $this->argument('name');
        $note = static function (string $event) use ($calls, $name): \Closure {
            return static function (Batch $batch) use ($event, $calls, $name): void {
                $line = "$event $name {$batch->totalJobs} {$batch->pendingJobs} {$batch->failedJobs}\n";
                file_put_contents($calls, $line, FILE_APPEND | LOCK_EX);
            };
        };
        $batch = Bus::batch($this->jobs())->name($name)->onQueue('default')
            ->then($note('then'))->catch($note('catch'))->finally($note('finally'));
        if ($this->option('fail') !== null) {
            $batch->allowFailures();
        }
        $this->line($batch->dispatch()->id);

        return 0;
    }

    private function jobs(): array
    {
        $unsteady = (int) $this->option('unsteady');
        $jobs = [];
        for ($n = 0; $n < (int) $this->option('count'); $n++) {
            $job = new UnsteadyJob($this->argument('journal'), '', $n, (int) $this->option('sleep'));
            $job->times = $unsteady > 0 && $n % $unsteady === 0 ? 1 : 0;
            if ($this->option('fail') !== null && (int) $this->option('fail') === $n) {
                [$job->times, $job->tries] = [PHP_INT_MAX, 2];
            }
            if ($this->option('die') !== null && (int) $this->option('die') === $n) {
                $job->diesAt = 'counted';
            }
            $jobs[] = $job;
        }

        return $jobs;
    }
}
