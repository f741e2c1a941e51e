<?php

namespace App\Scenarios\Forms;

use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Mail\Mailable;

/**
 * A queued mailable.
 */
class Letter extends Mailable implements ShouldQueue
{
    use Queueable;

    public function build(): self
    {
        return $this->subject('Фактура')->html('<p>1</p>');
    }
}
