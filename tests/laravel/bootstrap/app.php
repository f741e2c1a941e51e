<?php

use App\Console\Kernel;
use App\Exceptions\Handler;
use Illuminate\Contracts\Console\Kernel as ConsoleKernel;
use Illuminate\Contracts\Debug\ExceptionHandler;
use Illuminate\Foundation\Application;

// Nothing is written beside the sources: each instance has a storage directory of its own.
$storage = getenv('LARAVEL_STORAGE');
if ($storage === false) {
    fwrite(STDERR, "LARAVEL_STORAGE names no directory\n");
    exit(1);
}
foreach (['framework/cache/data', 'logs'] as $dir) {
    if (! is_dir("$storage/$dir")) {
        @mkdir("$storage/$dir", 0777, true);
    }
}

$app = new Application(dirname(__DIR__));
$app->useStoragePath($storage);
$app->singleton(ConsoleKernel::class, Kernel::class);
$app->singleton(ExceptionHandler::class, Handler::class);

return $app;
