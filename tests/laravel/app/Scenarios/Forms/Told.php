<?php

namespace App\Scenarios\Forms;

use App\Scenarios\Notes;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Notifications\Notification;
use RuntimeException;
use Throwable;

/**
 * A queued notification through a channel of the application.
 */
class Told extends Notification implements ShouldQueue
{
    use Queueable;

    public $scenario;

    public $fails;

    public function __construct(string $scenario, bool $fails = false)
    {
        $this->scenario = $scenario;
        $this->fails = $fails;
        $this->onQueue($scenario);
    }

    public function via(): array
    {
        return [ByJournal::class];
    }

    public function toJournal(): array
    {
        if ($this->fails) {
            throw new RuntimeException('nobody to tell');
        }

        return ['text' => 'told'];
    }

    public function failed(Throwable $reason): void
    {
        Notes::write('notification failed', $this->scenario, Notes::reason($reason));
    }
}
