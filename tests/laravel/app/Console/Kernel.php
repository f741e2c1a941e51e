<?php

namespace App\Console;

use Illuminate\Foundation\Console\Kernel as ConsoleKernel;

class Kernel extends ConsoleKernel
{
    protected $commands = [
        Commands\PushCommand::class,
        Commands\PushBatchCommand::class,
        Commands\PushChainCommand::class,
        Commands\PushClosureCommand::class,
        Commands\PushFramedCommand::class,
        Commands\PushLinksCommand::class,
        Commands\PushRawCommand::class,
        Commands\PushStringCommand::class,
        Commands\PushTimedCommand::class,
        Commands\ScenarioPushCommand::class,
    ];
}
