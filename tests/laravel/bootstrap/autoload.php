<?php

// Laravel 8.83 on newer versions of PHP is full of deprecations; they are not what the tests look at.
error_reporting(E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED);

// The framework comes from PHP's include path, where distributions install it.
require 'Illuminate/autoload.php';

// `App\` is the application; `Worker\` holds the PHP side of the worker's own sample jobs.
spl_autoload_register(static function (string $class): void {
    [$root, $rest] = explode('\\', $class, 2) + [1 => ''];
    $dirs = ['App' => 'app', 'Worker' => 'worker'];
    if (isset($dirs[$root])) {
        $file = dirname(__DIR__).'/'.$dirs[$root].'/'.str_replace('\\', '/', $rest).'.php';
        if (is_file($file)) {
            require $file;
        }
    }
});
