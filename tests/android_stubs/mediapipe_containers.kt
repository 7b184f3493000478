package com.google.mediapipe.tasks.components.containers

abstract class Category {
    abstract fun score(): Float

    abstract fun index(): Int
}

abstract class Classifications {
    abstract fun categories(): List<Category>
}

abstract class ClassificationResult {
    abstract fun classifications(): List<Classifications>
}
