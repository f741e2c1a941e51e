<?php

namespace App\Providers;

use App\Jobs\JournalJob;
use Illuminate\Database\Events\TransactionCommitted;
use Illuminate\Queue\Events\JobExceptionOccurred;
use Illuminate\Queue\Events\JobFailed;
use Illuminate\Queue\Events\JobProcessed;
use Illuminate\Queue\Events\JobProcessing;
use Illuminate\Queue\Events\JobQueued;
use Illuminate\Support\Facades\Event;
use Illuminate\Support\ServiceProvider;

/**
 * Ends the process between two steps that the framework takes with a JournalJob. Only where DEATHS is set.
 */
class DeathServiceProvider extends ServiceProvider
{
    /** What the framework has just done when it says so. */
    private const STEPS = [
        JobQueued::class => 'chained',
        TransactionCommitted::class => 'counted',
        JobProcessed::class => 'processed',
        JobExceptionOccurred::class => 'thrown',
        JobFailed::class => 'failed',
    ];

    /** @var JournalJob|null */
    private $command;

    public function boot(): void
    {
        if (getenv('DEATHS') === false) {
            return;
        }
        Event::listen(JobProcessing::class, function (JobProcessing $event): void {
            $command = unserialize($event->job->payload()['data']['command']);
            $this->command = $command instanceof JournalJob ? $command->setJob($event->job) : null;
            $this->pass('begun');
        });
        foreach (self::STEPS as $event => $step) {
            Event::listen($event, function () use ($step): void {
                $this->pass($step);
            });
        }
    }

    private function pass(string $step): void
    {
        if ($this->command !== null) {
            $this->command->pass($step);
        }
    }
}
