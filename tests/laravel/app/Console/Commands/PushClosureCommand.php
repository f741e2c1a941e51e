<?php

namespace App\Console\Commands;

use App\Support\Journal;
use Illuminate\Console\Command;

/**
 * Dispatches a closure that writes to the journal.
 */
class PushClosureCommand extends Command
{
    protected $signature = 'push:closure {tag}
        {--queue=}
        {--on= : the connection, else the default one}';

    protected $description = 'Dispatch a closure';

    public function handle(): int
    {
        $tag = $this->argument('tag');
        dispatch(static function () use ($tag): void {
            Journal::record('ran', null, 'closure', ['tag' => $tag]);
        })->onConnection($this->option('on'))->onQueue($this->option('queue'));

        return 0;
    }
}
