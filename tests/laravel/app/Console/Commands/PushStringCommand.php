<?php

namespace App\Console\Commands;

use Illuminate\Console\Command;
use Illuminate\Contracts\Queue\Factory;

/**
 * Pushes a string job: a handler's name with plain data.
 */
class PushStringCommand extends Command
{
    protected $signature = 'push:string
        {handler=App\Handlers\Legacy@fire}
        {--data=[] : any JSON value}
        {--queue=}
        {--on= : the connection, else the default one}
        {--delay= : seconds}';

    protected $description = 'Push a handler\'s name with data';

    public function handle(Factory $queues): int
    {
        $queue = $queues->connection($this->option('on'));
        $data = json_decode($this->option('data'), true, 512, JSON_THROW_ON_ERROR);
        $delay = $this->option('delay');
        $id = $delay === null
            ? $queue->push($this->argument('handler'), $data, $this->option('queue'))
            : $queue->later((int) $delay, $this->argument('handler'), $data, $this->option('queue'));
        $this->line((string) $id);

        return 0;
    }
}
