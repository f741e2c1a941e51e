<?php

namespace App\Scenarios\Forms;

use App\Scenarios\Notes;

/**
 * A channel for notifications: the journal.
 */
class ByJournal
{
    public function send(object $notifiable, Told $notification): void
    {
        $to = $notifiable->routeNotificationFor(self::class);
        Notes::write('told', $notification->scenario, $notification->toJournal() + ['to' => $to]);
    }
}
