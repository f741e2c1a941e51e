<?php

namespace App\Providers;

use App\Scenarios\Notes;
use App\Scenarios\Forms\Happened;
use App\Scenarios\Forms\Listening;
use App\Scenarios\Forms\ListeningInVain;
use Illuminate\Cache\RateLimiting\Limit;
use Illuminate\Contracts\Debug\ExceptionHandler;
use Illuminate\Mail\Events\MessageSent;
use Illuminate\Queue\Events\JobExceptionOccurred;
use Illuminate\Queue\Events\JobFailed;
use Illuminate\Queue\Events\JobProcessed;
use Illuminate\Queue\Events\JobProcessing;
use Illuminate\Support\Facades\Event;
use Illuminate\Support\Facades\RateLimiter;
use Illuminate\Support\ServiceProvider;
use Throwable;

/**
 * What scenarios need in every process, and the events of jobs in the journal. Only where SCENARIOS is set.
 */
class ScenarioServiceProvider extends ServiceProvider
{
    public function boot(): void
    {
        if (getenv('SCENARIOS') === false) {
            return;
        }
        $this->noteEvents();
        Event::listen(Happened::class, Listening::class);
        Event::listen(Happened::class, ListeningInVain::class);
        RateLimiter::for('scenario', static function (object $job) {
            return Limit::perMinutes(10, 1)->by($job->scenario);
        });
        $this->app->scoped('scoped', static function () {
            return new \stdClass();
        });
    }

    private function noteEvents(): void
    {
        Event::listen(JobProcessing::class, static function (JobProcessing $event): void {
            Notes::$current = $event->job;
            Notes::event('JobProcessing', $event->job, ['on' => $event->connectionName]);
        });
        Event::listen(JobProcessed::class, static function (JobProcessed $event): void {
            Notes::event('JobProcessed', $event->job, ['on' => $event->connectionName]);
        });
        foreach (['JobExceptionOccurred' => JobExceptionOccurred::class, 'JobFailed' => JobFailed::class] as $name => $class) {
            Event::listen($class, static function (object $event) use ($name): void {
                Notes::event($name, $event->job, ['on' => $event->connectionName] + Notes::reason($event->exception));
            });
        }
        Event::listen(MessageSent::class, static function (MessageSent $event): void {
            Notes::write('mailed', 'mailable', ['subject' => $event->message->getSubject()]);
        });
        $this->app->make(ExceptionHandler::class)->reportable(static function (Throwable $reason): void {
            if (Notes::$current !== null) {
                Notes::event('reported', Notes::$current, Notes::reason($reason));
            }
        });
    }
}
