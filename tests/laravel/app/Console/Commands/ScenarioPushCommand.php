<?php

namespace App\Console\Commands;

use App\Scenarios\Catalog;
use Illuminate\Console\Command;
use Illuminate\Support\Str;
use InvalidArgumentException;

/**
 * Dispatches scenarios by their names, each onto a queue of the same name.
 */
class ScenarioPushCommand extends Command
{
    protected $signature = 'scenario:push {names* : methods of the classes below App\Scenarios\Catalog, in snake case}';

    protected $description = 'Dispatch scenarios';

    private const GROUPS = [
        Catalog\Attempts::class,
        Catalog\Ends::class,
        Catalog\Forms::class,
        Catalog\Groups::class,
        Catalog\Guards::class,
        Catalog\Inside::class,
        Catalog\Verdicts::class,
    ];

    public function handle(): int
    {
        foreach ($this->argument('names') as $name) {
            $this->push($name);
        }

        return 0;
    }

    private function push(string $name): void
    {
        foreach (self::GROUPS as $group) {
            if (method_exists($group, Str::camel($name))) {
                (new $group($name))->{Str::camel($name)}();

                return;
            }
        }
        throw new InvalidArgumentException("There is no scenario $name.");
    }
}
