<?php

namespace App\Console\Commands;

use Illuminate\Console\Command;
use Illuminate\Contracts\Queue\Factory;

/**
 * Pushes the bytes on standard input, as `pushRaw` does.
 */
class PushRawCommand extends Command
{
    protected $signature = 'push:raw {--queue=} {--on= : the connection, else the default one}';

    protected $description = 'Push the bytes on standard input';

    public function handle(Factory $queues): int
    {
        $payload = stream_get_contents(STDIN);
        $id = $queues->connection($this->option('on'))->pushRaw($payload, $this->option('queue'));
        $this->line((string) $id);

        return 0;
    }
}
