<?php

// Laravel 8.83 on newer versions of PHP is full of deprecations; they are not what the tests look at.
error_reporting(E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED);

// The framework comes from PHP's include path, where distributions install it.
require 'Illuminate/autoload.php';

spl_autoload_register(static function (string $class): void {
    if (strncmp($class, 'App\\', 4) === 0) {
        $file = dirname(__DIR__).'/app/'.str_replace('\\', '/', substr($class, 4)).'.php';
        if (is_file($file)) {
            require $file;
        }
    }
});
