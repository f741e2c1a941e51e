<?php

namespace App\Console\Commands;

use App\Jobs\FailingJob;
use App\Jobs\RecordJob;
use App\Support\Journal;
use Illuminate\Console\Command;
use Illuminate\Support\Facades\Bus;
use Throwable;

/**
 * Dispatches a chain of RecordJobs, numbered from 0, with a catch callback that writes to the journal.
 */
class PushChainCommand extends Command
{
    protected $signature = 'push:chain {tag}
        {--count=3}
        {--fail= : the number of the link that is a FailingJob}
        {--head= : a class that comes before them, with its whole namespace}
        {--queue=}
        {--on= : the connection, else the default one}';

    protected $description = 'Dispatch a chain of jobs';

    public function handle(): int
    {
        $tag = $this->argument('tag');
        $links = $this->option('head') === null ? [] : [$this->laravel->make($this->option('head'))];
        for ($n = 0; $n < (int) $this->option('count'); $n++) {
            $fails = $this->option('fail') !== null && (int) $this->option('fail') === $n;
            $links[] = $fails ? new FailingJob($tag, $n) : new RecordJob($tag, $n);
        }
        Bus::chain($links)
            ->onConnection($this->option('on'))
            ->onQueue($this->option('queue'))
            ->catch(static function (Throwable $reason) use ($tag): void {
                Journal::record('caught', null, 'chain', ['tag' => $tag]);
            })
            ->dispatch();

        return 0;
    }
}
