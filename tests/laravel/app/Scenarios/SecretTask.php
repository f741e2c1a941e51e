<?php

namespace App\Scenarios;

use Illuminate\Contracts\Queue\ShouldBeEncrypted;

/**
 * Its command is encrypted in the queue.
 */
class SecretTask extends Task implements ShouldBeEncrypted
{
}
