<?php

namespace App\Scenarios;

use App\Models\Session;
use Illuminate\Queue\SerializesModels;

/**
 * Carries a model and a date.
 */
class RememberingTask extends Task
{
    use SerializesModels;

    public $session;

    protected $protected = ['the' => 'protected'];

    private $private = 12.5;

    public function about(Session $session): self
    {
        $this->session = $session;

        return $this;
    }

    public function handle(): void
    {
        parent::handle();
        Notes::write('remembers', $this->scenario, [
            'id' => $this->session->id,
            'payload' => $this->session->payload,
            'rest' => [$this->protected, $this->private],
        ]);
    }
}
