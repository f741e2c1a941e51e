<?php

namespace App\Scenarios\Forms;

use App\Scenarios\Notes;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Queue\InteractsWithQueue;
use RuntimeException;
use Throwable;

/**
 * A queued listener that hears `badly`: it has two tries and fails at both.
 */
class ListeningInVain implements ShouldQueue
{
    use InteractsWithQueue;

    public $queue = 'listener_fails';

    public $tries = 2;

    public $backoff = 60;

    public function shouldQueue(Happened $event): bool
    {
        return $event->what === 'badly';
    }

    public function handle(Happened $event): void
    {
        Notes::ran($this);
        throw new RuntimeException('in vain');
    }

    public function failed(Happened $event, Throwable $reason): void
    {
        Notes::write('listener failed', 'listener_fails', ['what' => $event->what] + Notes::reason($reason));
    }
}
