<?php

namespace App\Scenarios\Forms;

use App\Scenarios\Notes;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Queue\InteractsWithQueue;

/**
 * A queued listener that hears `well`.
 */
class Listening implements ShouldQueue
{
    use InteractsWithQueue;

    public $queue = 'listener';

    public function shouldQueue(Happened $event): bool
    {
        return $event->what === 'well';
    }

    public function handle(Happened $event): void
    {
        Notes::ran($this);
        Notes::write('heard', 'listener', ['what' => $event->what]);
    }
}
