<?php

namespace App\Console\Commands;

use Illuminate\Console\Command;
use Illuminate\Contracts\Bus\Dispatcher;
use Illuminate\Contracts\Queue\Factory;
use Illuminate\Contracts\Queue\ShouldBeUnique;

/**
 * Dispatches objects of one job class and prints what the queue answered for each, one line a job.
 */
class PushCommand extends Command
{
    protected $signature = 'push {job : the class below App\Jobs, or with its whole namespace}
        {--data=[] : constructor arguments by name, as JSON}
        {--count=1 : how many; each gets its number as the argument n}
        {--first=0 : the first number}
        {--bulk : all of them in one call of bulk()}
        {--queue= : the queue, else the connection\'s own}
        {--on= : the connection, else the default one}
        {--delay= : seconds}';

    protected $description = 'Dispatch jobs of a class';

    public function handle(Dispatcher $bus, Factory $queues): int
    {
        $jobs = $this->jobs();
        if ($this->option('bulk')) {
            $queues->connection($this->option('on'))->bulk($jobs, '', $this->option('queue'));

            return 0;
        }
        foreach ($jobs as $job) {
            $job->onConnection($this->option('on'))->onQueue($this->option('queue'));
            $this->dispatchWithLocks($bus, $job);
        }

        return 0;
    }

    private function jobs(): array
    {
        $class = $this->argument('job');
        $class = strpos($class, '\\') === false ? 'App\\Jobs\\'.$class : $class;
        $data = json_decode($this->option('data'), true, 512, JSON_THROW_ON_ERROR);
        $first = (int) $this->option('first');
        $jobs = [];
        for ($n = $first; $n < $first + (int) $this->option('count'); $n++) {
            $job = $this->laravel->makeWith($class, $data + ['n' => $n]);
            if ($this->option('delay') !== null) {
                $job->delay((int) $this->option('delay'));
            }
            $jobs[] = $job;
        }

        return $jobs;
    }

    /**
     * Through the framework's PendingDispatch where that takes a unique lock; else straight to the bus,
     * which says under which id the queue knows the job.
     */
    private function dispatchWithLocks(Dispatcher $bus, object $job): void
    {
        if ($job instanceof ShouldBeUnique) {
            dispatch($job);
        } else {
            $this->line((string) $bus->dispatch($job));
        }
    }
}
